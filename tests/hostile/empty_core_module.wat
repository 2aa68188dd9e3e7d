;; A core module without content.
;; expect: rejected "component"
(module)
