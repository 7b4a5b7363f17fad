"""What a study is and what it will take, before anything runs."""
