;; A core module with nothing in it.
;; expect: refused "component"
(module)
