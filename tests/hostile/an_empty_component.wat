;; A component with nothing in it.
;; expect: refused "this one exports nothing"
(component)
