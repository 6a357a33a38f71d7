"""The routing policy as code: a folder of YAML with its tests beside it, checked, rolled out and rolled back."""
