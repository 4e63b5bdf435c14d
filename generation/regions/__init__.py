"""Other prompts for parts of a picture: where they are (`places`) and how their predictions are joined (`regional`)."""
