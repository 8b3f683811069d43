"""The report of a run: one HTML page that needs no other file.

`facts` gathers the results of a run and reduces them to a few numbers, `words` puts them into sentences, `charts`
chooses the drawings and makes them, `galleries` chooses samples and shows them, and `page` fills the template; its
`report` is the verb.
"""
