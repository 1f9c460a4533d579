"""Classes of nuclei found without labels: an InfoGAN over pictures of single nuclei (section 3.3)."""
