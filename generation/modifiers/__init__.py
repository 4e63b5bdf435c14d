"""What changes how a checkpoint computes, for one render: FreeU, tiling, token merging, DeepCache, a refiner."""
