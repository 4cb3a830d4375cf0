"""Fetch and prepare the real data sets: ``python -m data_scripts NAME``.

One recipe a set (``mitbih.py``), one manifest (``manifest.toml``: addresses, checksums, sizes, licence, citation).
``download.py`` brings a file and checks it, ``unpack.py`` opens an archive safely, ``build.py`` joins the steps.
"""
