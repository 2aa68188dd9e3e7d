;; A component without content.
;; expect: rejected "this one exports nothing"
(component)
