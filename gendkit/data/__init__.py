"""From files to face crops: media, faces, manifests, forgeries, degradations and assets."""
