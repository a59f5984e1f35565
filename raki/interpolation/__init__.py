"""What all methods share: learn on the ACS a map from acquired neighbours to missing samples, apply it everywhere."""
