"""The verbs of the store, each as one transaction, by the same nouns as the client."""
