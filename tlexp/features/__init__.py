"""What frozen layers make of images, each computed once, and where training enters the network."""
