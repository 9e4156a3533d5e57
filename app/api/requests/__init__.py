"""What a request carries: body, options, header fields."""
