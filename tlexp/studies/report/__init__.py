"""What a study says to people: sentences, tables, figures, and the page that holds them."""
