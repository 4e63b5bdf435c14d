"""Faces in pictures: found, known again, swapped and restored, by the person's own local files of weights."""
