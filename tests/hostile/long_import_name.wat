;; Imports an instance with a name of 10,000 characters, which the error must not repeat in full.
;; expect: rejected "this one imports"
(component (import "<<10000 times x>>" (instance)))
