;; A hundred thousand types.
;; expect: refused "exports nothing"
(component <<100000 times (type (record (field "a" u64) (field "b" string))) >>)
