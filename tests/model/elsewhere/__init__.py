"""DMFormers as people wrote them on top of other code, and the files that their trainers saved."""
