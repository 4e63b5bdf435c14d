"""Networks laid over a model: LoRA, LyCORIS, hypernetworks. `named` is light; the rest has torch at its top."""
