"""What readers draw and decide on images: one type, one file format, one place to keep it."""
