"""Import the ops of other stores."""
