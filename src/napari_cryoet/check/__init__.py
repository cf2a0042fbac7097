"""Check whether picks fit the volume that they belong to."""
