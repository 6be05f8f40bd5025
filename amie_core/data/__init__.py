"""Raw clips to prepared clips: corpora, video, sound, faces, store. Knows no model."""
