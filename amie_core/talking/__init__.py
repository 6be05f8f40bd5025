"""A still face and a voice to a video: the command `amie talk` and what stands around it."""
