"""The parts of a picture's file, found without decoding: what it declares of itself and where each record stands.

One file a container. They read untrusted bytes within bounds and never beyond the end of the picture; what makes no
sense ends the search and raises nothing but ValueError.
"""
