"""From a prepared data set to the files of other libraries, its split included."""
