"""What a letter is, what a Chinese character is: the classes of characters that all rules for text are made of."""

import re

# What counts as a Chinese character: ideographs with all extensions, the iteration mark and the zero 〇.
HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
HAN_RUN = re.compile(f"[{HAN}]+")
LETTER = rf"[^\W\d_{HAN}]"  # a letter of any script but Chinese; also ² and ½
WORD_CHARACTER = rf"[^\W_{HAN}]"  # goes on inside a word: letters and digits
OTHER_WORD = re.compile(rf"{LETTER}+")
