"""What a page, a report or the API asks for: the one room that knows plots, formats and store together."""
