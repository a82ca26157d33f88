"""Token maps: what initialisers fit, the engine that applies maps, and what fits share."""
