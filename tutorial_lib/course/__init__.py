"""What runs the notebooks: catalogue, runner, report, doctor and the ``tutorial`` command.

Nothing here is needed to read a chapter or to use a method. Modules import their libraries late, so that
``tutorial list`` answers at once.
"""
