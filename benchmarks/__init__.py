"""Speed, quality and memory beside other deconvolution software: ``make bench``."""
