"""The fast forms behind taught methods. Each file opens with the plain lines that it equals; tests/kernels holds it to
them.
"""
