"""Files that want to break the reader. `make hostile`, or `python -m tests.hostile`, prints what became of each.

Every case ends as a picture or as one sentence, in less than 2 seconds and 300 MB. The generated cases follow the
published weaknesses of other DICOM software; with INTERVAL_TEST_DATA set, its `dicom/malformed` files are added.
"""
