"""Moving pictures out of models that know motion: motion modules over a checkpoint of pictures, and whole video models.

`animatediff` hangs a module into the loaded checkpoint, `pipelines` runs the models of `generation.video_models`.
"""
