"""Publishing a version: a model folder, or the Space, as one commit on the Hub, and a tag."""
