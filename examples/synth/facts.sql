WITH known (pattern, facts) AS (VALUES
  ('%cat%', '{"objects":[{"name":"cat","keywords":["animal","pet"],"kin":["dog"]}],"style":"photograph"}'),
  ('%coffee%', '{"objects":[{"name":"cup of coffee","keywords":["drink"],"kin":["cup of tea"],"place":"middle"}]}'),
  ('%horse%', '{"objects":[{"name":"horse","keywords":["animal"],"kin":["cow"]}]}'),
  ('%rocket%', '{"objects":[{"name":"rocket","keywords":["vehicle"],"kin":["airplane"],"colour":"white"}],"background":"a clear sky"}')
)
SELECT c.uid, c.image, known.facts
FROM 'examples/corpus/captions.parquet' c JOIN known ON lower(c.text) LIKE known.pattern
WHERE c.level = 3
-- What is known of a few of the pictures, as facts: what `tamis synth --provider rules` makes samples of. `--data` takes no
-- text that begins with a comment: it would be a flag.
