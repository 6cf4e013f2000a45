"""Detection beside peers: NAB, and labelled series of any other origin."""
