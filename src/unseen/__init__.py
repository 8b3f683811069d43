"""Find the part of a labelled data set worth training on."""
