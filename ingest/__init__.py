"""Files -> documents -> chunks: readers, chunking, the walk over folders, the pipeline."""
