"""Knowledge Base: search documents, ranking and the service that keeps and searches them."""
