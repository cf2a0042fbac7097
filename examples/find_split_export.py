"""Find ground-truth ribosomes, split their runs, and write a copick project."""

from napari_cryoet import Basket, export, open_portal, read_index, select_basket, split_basket

portal = open_portal("demo")  # or "live"
matches = read_index(portal).find(objects="ribosome", is_ground_truth=True)
basket = Basket(source=portal.source.name).add(matches, "annotations", "tomograms")
basket = split_basket(basket, portal, shares=(50, 25, 25))
print(export(select_basket(basket, portal), "copick", "ribosomes").counts_text, basket.split)
