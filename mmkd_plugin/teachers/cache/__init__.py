"""A teacher's logits on disk, so that a later training needs no teacher."""
