"""What tests share: builders, fakes, real servers."""
