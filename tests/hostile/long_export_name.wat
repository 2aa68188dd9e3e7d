;; Exports an instance with a name of 10,000 characters, which the error must not repeat in full.
;; expect: rejected "this one exports"
(component
  (component $c)
  (instance $i (instantiate $c))
  (export "<<10000 times x>>" (instance $i)))
