;; An empty file: a half-written one looks like it.
;; expect: refused "do not begin as one"
;; cut: 0
(component)
