;; Asks for something of a name of 10,000 letters: a refusal need not repeat it.
;; expect: refused "asks the host for"
(component (import "<<10000 times x>>" (instance)))
