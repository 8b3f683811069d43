"""What a run found, on one page: facts, pictures, galleries, and the page itself.

`facts` gathers what runs hold, `numbers` reduces it to what a page can show, `pictures` draws, `galleries` chooses
samples, `viewing` shows them, `page` puts the page together and `writing` is the verb.
"""
