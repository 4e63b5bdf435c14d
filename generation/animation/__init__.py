"""Animation: what changes from frame to frame. Schedules are light; what makes and warps frames imports torch."""
