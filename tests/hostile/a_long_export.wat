;; Exports an instance under a name of 10,000 letters: a refusal need not repeat it.
;; expect: refused "this one exports"
(component
  (component $c)
  (instance $i (instantiate $c))
  (export "<<10000 times x>>" (instance $i)))
