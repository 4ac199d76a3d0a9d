"""Relations, modality codes and batch graphs."""
