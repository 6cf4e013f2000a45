"""The verifier: whether SQL, datasets or a proposed output are fit for a purpose."""
