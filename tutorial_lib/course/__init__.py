"""What runs the notebooks: catalogue, runner, report, doctor and the ``tutorial`` command.

Four wings stand over one ground floor: ``run`` (the chapters and their report), ``sweep`` (one experiment over many
settings), ``classroom`` (handing out and grading) and ``front`` (README, picture, addresses). No wing imports another;
``cli`` alone knows all of them. Nothing here is needed to read a chapter or to use a method. Modules import their
libraries late, so that ``tutorial list`` answers at once.
"""
